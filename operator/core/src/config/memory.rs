//! Amounts of memory as redis.conf writes them.

/// Bytes of `64mb`, `1g`, `1048576`; `None` if a server would not accept it. `k`, `m`, `g` are powers of ten, `kb`,
/// `mb`, `gb` powers of two (`memtoull` in `util.c`).
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(bytes("64mb"), Some(64 << 20));
        assert_eq!(bytes("64M"), Some(64_000_000));
        assert_eq!(bytes("1GB"), Some(1 << 30));
        assert_eq!(bytes("17"), Some(17));
        for text in ["", "mb", "1tb", "-1", "1.5gb", "99999999999gb", "1 mb"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
