//! Quantities of Kubernetes, as far as needed to tell whether two are equal: the API server writes `0.5` as `500m`.

use serde_json::Value;

/// Whether two JSON values are the same quantity.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    matches!((nanos(a), nanos(b)), (Some(a), Some(b)) if a == b)
}

fn nanos(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Billionths, the finest that Kubernetes knows; `None` if this is no quantity or one beyond any use.
fn parse(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    let (base, exponent) = scale(suffix)?;
    let scaled = match base {
        2 => digits
            .checked_mul(1_i128.checked_shl(exponent.try_into().ok()?)?)?
            .checked_mul(1_000_000_000)?,
        _ => digits.checked_mul(10_i128.checked_pow(u32::try_from(exponent.checked_add(9)?).ok()?)?)?,
    };
    let value = scaled.checked_div(10_i128.checked_pow(places)?)?;
    Some(if negative { -value } else { value })
}

fn scale(suffix: &str) -> Option<(u8, i32)> {
    let scale = match suffix {
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "" => (10, 0),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (2, 10),
        "Mi" => (2, 20),
        "Gi" => (2, 30),
        "Ti" => (2, 40),
        "Pi" => (2, 50),
        "Ei" => (2, 60),
        _ => (10, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_amount_in_two_spellings() {
        for (a, b) in [
            (json!("1Gi"), json!("1024Mi")),
            (json!("0.5"), json!("500m")),
            (json!(1), json!("1")),
            (json!("1000m"), json!("1")),
            (json!("1.5Gi"), json!("1536Mi")),
            (json!("1e3"), json!("1k")),
            (json!("+1"), json!("1")),
            (json!(".5"), json!("0.5")),
        ] {
            assert!(equal(&a, &b), "{a} {b}");
        }
    }

    #[test]
    fn different_amounts_and_nonsense() {
        for (a, b) in [
            (json!("1Gi"), json!("1G")),
            (json!("1"), json!("-1")),
            (json!("x"), json!("x")),
            (json!(""), json!("")),
            (json!("."), json!("0")),
            (json!("1e99999999999"), json!("1")),
            (json!("1e30"), json!("1e31")),
            (json!("99999999999999999999999999999999999999999"), json!("1")),
            (json!("1.1.1"), json!("1")),
            (json!("1e-12"), json!("1")),
            (json!(null), json!("1")),
        ] {
            assert!(!equal(&a, &b), "{a} {b}");
        }
    }
}
