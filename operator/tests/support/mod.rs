//! Real redis-server processes on loopback, each with an address of its own and a directory that is thrown away.
#![allow(dead_code)]

mod client;
pub(crate) mod replication;
pub(crate) mod stub;

pub(crate) use client::Client;
use redis_operator::redis::{Connection, Login};
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Every server listens here; addresses tell them apart.
pub(crate) const PORT: u16 = 7379;
/// The limit of a call in tests.
pub(crate) const LIMIT: Duration = Duration::from_millis(500);
/// What a condition that must come true is given; far more than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The operator's user.
pub(crate) fn operator() -> Login {
    login("redis-operator", "operators-password")
}

/// Any user.
pub(crate) fn login(user: &str, password: &str) -> Login {
    Login {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// The users that every server has from its start, as the mounted file gives them.
const USERS: &str = "
user redis-operator on >operators-password ~* &* +@all
user default on nopass ~* &* +@all -psync -sync -replconf -replicaof -slaveof -failover -shutdown -debug -module \
-cluster -config|set -config|rewrite -acl|setuser -acl|deluser -acl|load -acl|save
";

const OWNED: &str = "
daemonize no
save \"\"
appendonly no
protected-mode no
replica-read-only yes
repl-backlog-ttl 0
repl-diskless-load disabled
repl-diskless-sync-delay 0
repl-ping-replica-period 1
repl-timeout 10
busy-reply-threshold 50
replica-lazy-flush yes
";

const FENCE: &str = "
replicaof 127.0.0.1 1
replica-serve-stale-data no
";

/// How a server starts.
pub(crate) struct ServerOptions {
    /// As a replica of nothing that serves nobody.
    pub(crate) fenced: bool,
    /// What the machine has installed, whatever REDIS_SERVER names.
    pub(crate) installed: bool,
    /// Further lines of its configuration.
    pub(crate) lines: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            fenced: true,
            installed: false,
            lines: String::new(),
        }
    }
}

/// One redis-server process; ended when it is dropped.
pub(crate) struct Server {
    pub(crate) ip: IpAddr,
    dir: PathBuf,
    child: Child,
}

impl Server {
    /// A fenced one that answers.
    pub(crate) fn fenced() -> Self {
        Self::start(&ServerOptions::default())
    }

    /// A master with the default configuration that answers.
    pub(crate) fn open() -> Self {
        Self::start(&ServerOptions {
            fenced: false,
            ..ServerOptions::default()
        })
    }

    pub(crate) fn start(options: &ServerOptions) -> Self {
        let server = Self::launch(options);
        server.wait_for_reply();
        server
    }

    /// Does not wait until it answers.
    pub(crate) fn launch(options: &ServerOptions) -> Self {
        let ip = free_address();
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{ip}"));
        // Left behind by a run that was killed.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let child = run(ip, &dir, options);
        Self { ip, dir, child }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, PORT)
    }

    pub(crate) fn host(&self) -> String {
        self.ip.to_string()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: from now on it hangs.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        let state = format!("/proc/{}/stat", self.pid());
        wait("the process to stop", || {
            fs::read_to_string(&state).is_ok_and(|stat| stat.contains(") T "))
        });
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// A new process with the same address and the same files. The old one must have ended.
    pub(crate) fn relaunch(&mut self, options: &ServerOptions) {
        self.child = run(self.ip, &self.dir, options);
    }

    /// The same, and waits until it has what it had: while it loads that, it answers and tells of nothing.
    pub(crate) fn restart(&mut self, options: &ServerOptions) {
        self.relaunch(options);
        self.wait_for_reply();
        let mut client = self.client();
        wait("the data to be loaded", || {
            client.info("loading").as_deref() == Some("0")
        });
    }

    /// Whatever it kept is gone. It must have ended.
    pub(crate) fn lose_files(&self) {
        fs::remove_dir_all(&self.dir).unwrap();
        fs::create_dir_all(&self.dir).unwrap();
    }

    /// A client of the operator's user, which may do anything.
    pub(crate) fn client(&self) -> Client {
        let mut client = self.guest();
        let Login { user, password } = operator();
        assert_eq!(client.call(&["AUTH", &user, &password]), "OK");
        client
    }

    /// A client of the default user, as applications have it.
    pub(crate) fn guest(&self) -> Client {
        Client::connect(self.address())
    }

    pub(crate) async fn connection(&self) -> Connection {
        Connection::open(self.address(), &operator(), LIMIT).await.unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success(), "kill -s {name} {}", self.pid());
    }

    /// It answers, loading or not.
    pub(crate) fn wait_for_reply(&self) {
        let log = self.dir.join("log");
        let begun = Instant::now();
        let answers = |mut client: Client| !client.call(&["PING"]).is_empty();
        while !Client::try_connect(self.address()).is_some_and(answers) {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "redis-server does not answer: {}", said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn run(ip: IpAddr, dir: &Path, options: &ServerOptions) -> Child {
    let fence = if options.fenced { FENCE } else { "" };
    let own = format!("bind {ip}\nport {PORT}\ndir {}\nlogfile log\n", dir.display());
    let config = format!("{own}{OWNED}{fence}{USERS}{}\n", options.lines);
    let path = dir.join("redis.conf");
    fs::write(&path, config).unwrap();
    if options.installed {
        return spawn_program(INSTALLED.into(), &path);
    }
    spawn(&path)
}

const INSTALLED: &str = "redis-server";

/// What REDIS_SERVER names.
pub(crate) fn other_program() -> Option<OsString> {
    std::env::var_os("REDIS_SERVER")
}

/// The server that is tried: what REDIS_SERVER names, else the machine's redis-server.
pub(crate) fn program() -> OsString {
    other_program().unwrap_or_else(|| INSTALLED.into())
}

/// A server of that configuration.
pub(crate) fn spawn(config: &Path) -> Child {
    spawn_program(program(), config)
}

fn spawn_program(program: OsString, config: &Path) -> Child {
    let mut command = Command::new(&program);
    let child = command.arg(config).stdout(Stdio::null()).spawn();
    child.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; install it: apt-get install redis-server",
            program.display()
        )
    })
}

/// An address of 127.0.0.0/8 that nobody else uses: by process and by count.
pub(crate) fn free_address() -> IpAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    assert!(count < 250, "too many servers in one test process");
    IpAddr::V4(Ipv4Addr::new(127, high, low, count))
}

/// Waits until something is so, and fails if it never is.
pub(crate) fn wait(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The same, asking asynchronously, and gives what was found.
pub(crate) async fn wait_for<T>(what: &str, mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
