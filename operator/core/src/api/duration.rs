//! Durations as users write them: `500ms`, `2s`, `1m`.

use std::time::Duration;

/// `downAfter` unless the user says otherwise.
pub(super) const DEFAULT_DOWN_AFTER: Duration = Duration::from_secs(2);
/// Below this a busy node looks like a dead master.
pub(super) const MIN_DOWN_AFTER: Duration = Duration::from_millis(500);

/// Reads digits followed by `ms`, `s` or `m`; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_schema_accepts() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse("10m"), Some(Duration::from_secs(600)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "2h",
            "1.5s",
            "2 s",
            "99999999999999999999s",
            "18446744073709551615m",
            "ä",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
