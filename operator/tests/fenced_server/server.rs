//! A server on loopback, with the very files that a pod mounts, moved to a directory of its own.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, free_address, program};
use redis_operator_core::api::{Redis, RedisSpec};
use redis_operator_core::config;
use redis_operator_core::credentials::Passwords;
use redis_operator_core::resources::{Inputs, build};

pub(crate) const APPLICATION: &str = "application's password";
const PORT: u16 = 6379;

pub(crate) struct Server {
    pub(crate) passwords: Passwords,
    pub(crate) ip: IpAddr,
    /// Where its files are; `data` is its working directory.
    pub(crate) dir: PathBuf,
    process: Option<Child>,
}

impl Server {
    /// Writes the files and starts the process.
    pub(crate) fn start(spec: RedisSpec) -> Self {
        let ip = free_address();
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fenced-{ip}"));
        // left behind by a run that was killed
        let _ = std::fs::remove_dir_all(&dir);
        let mut server = Self {
            passwords: Passwords::derive(b"key", "uid"),
            ip,
            dir,
            process: None,
        };
        server.write(spec);
        server.run();
        server
    }

    /// Stops the process, if it runs, and starts another one on the same data.
    pub(crate) fn restart(&mut self, spec: RedisSpec) {
        self.end();
        self.write(spec);
        self.run();
    }

    /// Stops the process and starts another one whose redis.conf says nothing.
    pub(crate) fn restart_without_conf(&mut self) {
        self.end();
        std::fs::write(self.dir.join("conf/redis.conf"), "").unwrap();
        self.run();
    }

    fn write(&self, spec: RedisSpec) {
        let mut redis = Redis::new("test", spec);
        redis.metadata.namespace = Some("default".to_owned());
        redis.metadata.uid = Some("uid".to_owned());
        let inputs = Inputs {
            restarted: None,
            kept: None,
            passwords: &self.passwords,
            application_password: Some(APPLICATION),
            holder: "test",
            replicas: 1,
        };
        let built = build(&redis, &inputs).unwrap();
        for sub in ["conf", "auth", "data"] {
            std::fs::create_dir_all(self.dir.join(sub)).unwrap();
        }
        for (name, text) in built.config_map.data.unwrap() {
            let path = self.dir.join("conf").join(name);
            std::fs::write(&path, self.moved(&text)).unwrap();
            executable(&path);
        }
        for (name, bytes) in built.secret.data.unwrap() {
            std::fs::write(self.dir.join("auth").join(name), bytes.0).unwrap();
        }
    }

    /// The same text for this directory and address.
    fn moved(&self, text: &str) -> String {
        let dir = self.dir.display();
        text.replace("/etc/redis-auth", &format!("{dir}/auth"))
            .replace("/etc/redis", &format!("{dir}/conf"))
            .replace("dir /data", &format!("dir {dir}/data"))
            .replace("-h 127.0.0.1", &format!("-h {}", self.ip))
    }

    fn run(&mut self) {
        let log = std::fs::File::create(self.dir.join("log")).unwrap();
        let words: Vec<_> = config::command().iter().map(|word| self.moved(word)).collect();
        let mut command = Command::new(program());
        command
            .args(words.iter().skip(1))
            .arg("--bind")
            .arg(self.ip.to_string());
        command.stdout(log);
        self.process = Some(
            command
                .spawn()
                .expect("the server cannot be run: install redis-server and redis-tools"),
        );
        self.until("it listens", |server| TcpStream::connect((server.ip, PORT)).is_ok());
    }

    /// Waits for a condition, and fails with the server's log if it never holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the server replies to a command of a user.
    pub(crate) fn ask(&self, user: &str, password: &str, words: &[&str]) -> String {
        let output = Command::new("timeout")
            .args([
                &PATIENCE.as_secs().to_string(),
                "redis-cli",
                "-h",
                &self.ip.to_string(),
                "--user",
                user,
            ])
            .args(words)
            .env("REDISCLI_AUTH", password)
            .stderr(Stdio::inherit())
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }

    /// A connection that the server has accepted and keeps.
    pub(crate) fn hold(&self) -> TcpStream {
        let held = Cell::new(None);
        self.until("it accepts a connection", |server| {
            let mut stream = TcpStream::connect((server.ip, PORT)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut reply = String::new();
            let sent = stream
                .write_all(b"PING\r\n")
                .and_then(|()| BufReader::new(&stream).read_line(&mut reply));
            let kept = sent.is_ok() && reply.starts_with("-NOAUTH");
            held.set(Some(stream));
            kept
        });
        held.take().unwrap()
    }

    /// Two commands on one connection of their own; the reply to the second, as it is on the wire.
    pub(crate) fn raw(&self, first: &[&str], second: &[&str]) -> String {
        let mut stream = BufReader::new(TcpStream::connect((self.ip, PORT)).unwrap());
        stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reply = String::new();
        for words in [first, second] {
            let bulk = words
                .iter()
                .map(|word| format!("${}\r\n{word}\r\n", word.len()))
                .collect::<String>();
            stream
                .get_mut()
                .write_all(format!("*{}\r\n{bulk}", words.len()).as_bytes())
                .unwrap();
            reply.clear();
            stream.read_line(&mut reply).unwrap();
        }
        reply
    }

    pub(crate) fn operator(&self, words: &[&str]) -> String {
        self.ask("redis-operator", &self.passwords.operator, words)
    }

    pub(crate) fn application(&self, words: &[&str]) -> String {
        self.ask("default", APPLICATION, words)
    }

    /// Makes it a serving master, as a promotion does.
    pub(crate) fn promote(&self) {
        assert_eq!(self.operator(&["replicaof", "no", "one"]), "OK");
        assert_eq!(
            self.operator(&["config", "set", "replica-serve-stale-data", "yes"]),
            "OK"
        );
    }

    /// Runs one of the mounted scripts as the kubelet does, and tells whether it succeeded.
    pub(crate) fn probe(&self, script: &str) -> bool {
        let Output { status, stderr, .. } = Command::new(self.dir.join("conf").join(script)).output().unwrap();
        assert_eq!(String::from_utf8(stderr).unwrap(), "", "{script}");
        status.success()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o555)).unwrap();
}
