//! What users, images and the API server write, as the core reads it.

use k8s_openapi::ByteString;
use redis_operator_core::api::{Redis, RedisSpec, SecretKeyRef};
use redis_operator_core::config::{check, persistence, render};
use redis_operator_core::credentials::{application_password, replication_acl};
use redis_operator_core::resources::{self, differs};
use redis_operator_core::version::obstacle;
use serde_json::json;

/// Whether a backlog of this size is enough: 64 MiB are asked for.
#[cfg(test)]
fn is_enough(size: &str) -> bool {
    check(&[("repl-backlog-size".to_owned(), size.to_owned())].into()).is_empty()
}

#[test]
fn an_amount_of_memory_is_read_as_a_server_reads_it() {
    for (enough, less) in [
        ("67108864", "67108863"),
        ("67108864b", "67108863B"),
        ("67109k", "67108k"),
        ("65536kb", "65535KB"),
        ("68m", "67m"),
        ("64mb", "63MB"),
        ("1g", "0g"),
        ("1gb", "0gb"),
    ] {
        assert!(is_enough(enough), "{enough}");
        assert!(!is_enough(less), "{less}");
    }
    assert!(!is_enough("67108865k b"));
}

#[test]
fn a_quantity_is_the_same_in_every_suffix() {
    let spec = |cpu: &str| json!({"limits": {"cpu": cpu}});
    for (a, b) in [
        ("1", "1000000000n"),
        ("1", "1000000u"),
        ("1", "1000m"),
        ("1k", "1000"),
        ("1M", "1000k"),
        ("1G", "1000M"),
        ("1T", "1000G"),
        ("1P", "1000T"),
        ("1E", "1000P"),
        ("1Ki", "1024"),
        ("1Mi", "1024Ki"),
        ("1Gi", "1024Mi"),
        ("1Ti", "1024Gi"),
        ("1Pi", "1024Ti"),
        ("1Ei", "1024Pi"),
    ] {
        assert!(!differs(&spec(a), &spec(b)), "{a} is {b}");
        assert!(
            differs(&spec(a), &spec(&b.replacen('1', "2", 1))),
            "{a} is more or less"
        );
    }
}

#[test]
fn what_the_api_server_leaves_out_is_nothing_of_its_kind() {
    for nothing in [json!(null), json!(false), json!(0), json!(""), json!([]), json!({})] {
        assert!(!differs(&json!({ "field": nothing }), &json!({})), "{nothing}");
    }
    for something in [json!(true), json!(5), json!("text"), json!([1]), json!({ "inner": 1 })] {
        assert!(differs(&json!({ "field": something }), &json!({})), "{something}");
    }
}

#[test]
fn more_databases_than_can_be_told_are_refused() {
    let refused = |value: &str| !check(&[("databases".to_owned(), value.to_owned())].into()).is_empty();
    assert!(!refused("16") && !refused("10000"));
    assert!(refused("10001") && refused(" 99999999999"));
}

#[test]
fn a_priority_past_the_schema_is_refused() {
    let refused = |priority: i32| {
        let mut spec = RedisSpec::new("redis:7.0");
        spec.priorities = serde_json::from_value(json!([{ "priority": priority, "ordinals": [0] }])).unwrap();
        let refusal = resources::check(&Redis::new("shop", spec)).err();
        refusal.map(|it| it.message)
    };
    assert_eq!((refused(0), refused(1_000)), (None, None));
    for priority in [-1, 1_001] {
        let message = refused(priority).unwrap();
        assert!(
            message.starts_with(&format!("spec.priorities: {priority} is no priority")),
            "{message}"
        );
    }
}

#[test]
fn files_that_the_next_server_reads_are_told_from_other_settings() {
    let conf = "maxmemory 1gb\nappendonly yes\nsave 60 1\nsavings no\nappendfilename \"a.aof\"\n";
    let files = ["appendonly yes", "save 60 1", "appendfilename \"a.aof\""];
    assert_eq!(persistence(conf), files);
}

#[test]
fn a_member_may_replicate_and_nothing_else() {
    let acl = replication_acl("uid", "secret");
    let [user, reset, on, password, rules @ ..] = acl.as_slice() else {
        panic!("{acl:?}")
    };
    assert_eq!((user.as_str(), reset.as_str(), on.as_str()), ("r-uid", "reset", "on"));
    // printf secret | sha256sum
    assert_eq!(
        password,
        "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    );
    let allowed: Vec<_> = rules.iter().filter(|rule| rule.starts_with('+')).collect();
    assert_eq!(allowed, ["+psync", "+replconf", "+ping"]);
    assert!(rules.contains(&"-@all".to_owned()) && rules.contains(&"resetkeys".to_owned()));
}

#[test]
fn r04_formats_that_went_apart_follow_their_own_kind_only() {
    assert_eq!(obstacle("redis:7.4", "redis:8.0"), None);
    assert_eq!(obstacle("valkey:9.0", "valkey:9.1"), None);
    assert!(obstacle("redis:7.4", "valkey:9.0").is_some(), "Valkey reads none of it");
}

#[test]
fn what_a_user_writes_takes_the_place_of_the_default() {
    for (key, default, other) in [("repl-backlog-size", "64mb", "1gb"), ("tcp-keepalive", "10", "60")] {
        let mut spec = RedisSpec::new("redis:7.0");
        let lines = |spec: &RedisSpec| -> Vec<String> {
            let text = render(spec);
            let of_key = text.lines().filter(|line| line.split(' ').next() == Some(key));
            of_key.map(str::to_owned).collect()
        };
        assert_eq!(lines(&spec), [format!("{key} {default}")]);
        spec.config.insert(key.to_owned(), other.to_owned());
        assert_eq!(lines(&spec), [format!("{key} {other}")]);
    }
}

#[test]
fn b02_a_password_that_ends_with_a_newline_is_told_how_to_write_it_without() {
    let reference: SecretKeyRef = serde_json::from_value(json!({"name": "secret", "key": "password"})).unwrap();
    let says = |password: &str| {
        let data = [("password".to_owned(), ByteString(password.into()))].into();
        application_password(&reference, Some(&data)).unwrap_err().to_string()
    };
    for password in ["x\n", "x\r"] {
        assert!(says(password).contains("printf '%s'"), "{password:?}");
    }
    assert!(says("x\ny").contains("on one line"));
}
