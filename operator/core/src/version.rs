//! Which server can follow which: what an image's name says about the format in which its servers write their data.

/// The oldest servers that can be used. What is written for them, `busy-reply-threshold` and users that lack single
/// subcommands, older ones do not understand.
pub const NEEDED: &str = "Redis 7.0 or later, or Valkey";

/// Whether a server of this version is too old, for what it says of itself. One that says no number is taken at its word.
pub fn is_too_old(version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major < 7)
}

/// The format of a server's full sync, told apart by who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    number: u32,
    valkey: bool,
}

/// Why servers of the image `to` cannot follow servers of the image `from`, for people. None if they can, or if a name does
/// not tell: then the first replica shows it, and the others stay as they are.
pub fn obstacle(from: &str, to: &str) -> Option<String> {
    let (old, new) = (format(from)?, format(to)?);
    if can_read(new, old) {
        return None;
    }
    Some(format!(
        "servers of image {to} cannot follow those of {from}: they do not read data of RDB version {}. Nothing is restarted; choose a newer image (spec.image), or move the data another way",
        old.number
    ))
}

/// A server reads what its own and every earlier format says. The formats of Redis from 7.4 on (12 and up) are foreign to
/// Valkey, and Valkey's own (80 and up) to Redis.
fn can_read(reader: Format, data: Format) -> bool {
    let common = data.number <= 11;
    data.number <= reader.number && (common || reader.valkey == data.valkey)
}

/// RDB versions of released servers. Redis: 10 in 7.0, 11 in 7.2, 12 from 7.4 to 8.4, 13 in 8.6. Valkey: 11 in 7.2
/// and 8, 80 in 9.0. Of those that are not listed nothing is known.
fn format(image: &str) -> Option<Format> {
    let (valkey, major, minor) = version(image)?;
    let number = match (valkey, major, minor) {
        (false, 7, 0 | 1) => 10,
        (false, 7, 2 | 3) | (true, 7 | 8, _) => 11,
        (false, 7, _) | (false, 8, 0..=5) => 12,
        (false, 8, 6 | 7) => 13,
        (true, 9, 0 | 1) => 80,
        _ => return None,
    };
    Some(Format { number, valkey })
}

/// Of `registry/path/valkey:8.1-alpine` that it is Valkey, 8 and 1.
fn version(image: &str) -> Option<(bool, u32, u32)> {
    let image = image.split('@').next()?;
    let last = image.rsplit('/').next()?;
    let (name, tag) = last.split_once(':')?;
    let valkey = match (name.contains("valkey"), name.contains("redis")) {
        (true, false) => true,
        (false, true) => false,
        _ => return None,
    };
    let tag = tag.trim_start_matches('v');
    let numbers: Vec<_> = tag.split(|c: char| !c.is_ascii_digit()).take(2).collect();
    match numbers.as_slice() {
        [major, minor] => Some((valkey, major.parse().ok()?, minor.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r04_upgrades_follow_and_downgrades_do_not() {
        let follows = |from, to| obstacle(from, to).is_none();
        assert!(follows("redis:7.0", "redis:7.2.4-alpine"));
        assert!(follows(
            "docker.io/library/redis:7.2",
            "registry:5000/valkey/valkey:8.1@sha256:abc"
        ));
        assert!(follows("valkey/valkey:8.0", "valkey/valkey:9.0"));
        assert!(follows("redis:7.0", "redis:7.0.15"));
        assert!(!follows("redis:7.2", "redis:7.0"));
        assert!(follows("redis:8.4", "redis:8.6"));
        assert!(!follows("redis:8.6", "redis:8.4.1"));
        assert!(!follows("redis:7.4.1", "valkey:8.1"));
        assert!(!follows("valkey:9.0", "valkey:8.1"));
        assert!(!follows("valkey:9.0.3", "redis:8.2"));
        let why = obstacle("redis:7.2", "redis:7.0").unwrap();
        assert!(why.contains("RDB version 11") && why.contains("spec.image"), "{why}");
    }

    #[test]
    fn b04_servers_before_7_0_are_too_old() {
        for (version, old) in [
            ("6.2.14", true),
            ("7.0.0", false),
            ("10.0", false),
            ("255.255.255", false),
            ("", false),
        ] {
            assert_eq!(is_too_old(version), old, "{version}");
        }
    }

    #[test]
    fn a_name_that_tells_nothing_forbids_nothing() {
        for image in [
            "redis",
            "redis:latest",
            "redis:7",
            "mirror/cache:7.0",
            "valkey-redis:8.0",
            "redis:8.x",
            "",
        ] {
            assert_eq!(obstacle("valkey:9.0", image), None, "{image}");
            assert_eq!(obstacle(image, "redis:7.0"), None, "{image}");
        }
    }
}
