//! Durations as people write them on a command line: `500ms`, `2s`, `1m`.

use std::time::Duration;

/// Reads digits followed by `ms`, `s` or `m`. The error is a sentence that says what to write instead.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let malformed = || format!("{text:?} is no duration: write a whole number and a unit, such as 500ms, 2s or 1m");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(malformed)?;
    let number: u64 = number.parse().map_err(|_| malformed())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    let duration = Duration::from_millis(millis.ok_or_else(malformed)?);
    if duration.is_zero() || duration > MAX {
        return Err(format!("{text:?} is out of range: write something from 1ms to 60m"));
    }
    Ok(duration)
}

/// Nothing that this program waits for takes longer.
const MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("60m"), Ok(Duration::from_secs(3_600)));
    }

    #[test]
    fn refuses_the_rest_with_a_remedy() {
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "0.5s",
            "2 s",
            "2h",
            "0s",
            "61m",
            "18446744073709551615m",
            "ä",
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains("write "), "{text:?}: {message}");
        }
    }
}
