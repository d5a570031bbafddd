"""PostgreSQL (fsync on), Redis, the receiver and the service on free ports, for a measurement; each is ended by its pid."""
import copy, json, os, pathlib, shutil, signal, socket, subprocess, tempfile, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds, what, pause=0.01):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: waited {seconds} s in vain for {what}")
        time.sleep(pause)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


class World:
    """PostgreSQL, Redis and the receiver; services come and go."""

    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="messaging-bench-"))
        self.processes, self.postgres, self.user = [], None, []
        self.log = open(self.directory / "log", "w")
        try:
            self.begin()
        except BaseException:
            self.end()
            raise

    def begin(self):
        if os.geteuid() == 0:  # PostgreSQL refuses root
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            shutil.chown(self.directory, "postgres", "postgres")
        self.start_postgres()
        self.redis_port = free_port()
        self.redis = self.start(["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)])
        self.receiver = self.start_receiver()
        self.run([self.build / "messaging", "migrate", "up"])

    def start_postgres(self):
        self.binaries = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        self.data, self.postgres_port = self.directory / "postgres", free_port()
        subprocess.run(self.user + [f"{self.binaries}/initdb", "-D", self.data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
                       cwd="/", check=True, stdout=self.log, stderr=self.log)
        self.database = f"postgresql://bench@127.0.0.1:{self.postgres_port}/bench"
        self.admin = f"postgresql://bench@127.0.0.1:{self.postgres_port}/postgres"
        self.launch_postgres()
        subprocess.run(["psql", "-qX", self.admin, "-c", "CREATE DATABASE bench"], check=True)
        self.sql("CREATE EXTENSION pg_stat_statements")

    def launch_postgres(self, *more):
        settings = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}", "max_wal_size=8GB", "shared_buffers=256MB",
                    "shared_preload_libraries=pg_stat_statements", *more)
        self.postgres = self.start(self.user + [f"{self.binaries}/postgres", "-D", str(self.data), "-p", str(self.postgres_port)] +
                                   [word for setting in settings for word in ("-c", setting)])
        wait_for(lambda: subprocess.run(["psql", "-qtAX", self.admin, "-c", "SELECT 1"], capture_output=True).returncode == 0, 60, "PostgreSQL")

    def restart_postgres(self, *more, cold=False):
        """With other settings, or with nothing of its files in the system's cache. Nothing may be connected."""
        self.postgres.send_signal(signal.SIGINT)
        self.postgres.wait(600)
        self.processes.remove(self.postgres)
        if cold:
            for path in self.data.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    with open(path, "rb") as file:
                        os.fsync(file.fileno())
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.launch_postgres(*more)

    def beside(self, name="beside"):
        """The same world with a database of its own, for pairs that another state of the database tells apart."""
        other = copy.copy(self)
        other.database = f"{self.database}_{name}"
        self.sql(f"CREATE DATABASE bench_{name}")
        other.run([self.build / "messaging", "migrate", "up"])
        return other

    def start_receiver(self, *options):
        port = free_port()
        self.receiver_process = self.start([self.build / "messaging", "receiver", "--quiet", "--port", str(port), *options])
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: self.answers(url + "/livez"), 10, "the receiver")
        return url

    def start_tls_receiver(self, offered):
        """Node.js's server, which offers h2 or http/1.1; answers (process, webhook URL, control URL, the file of whom to trust)."""
        key, certificate, port, control = self.directory / "key.pem", self.directory / "certificate.pem", free_port(), free_port()
        if not certificate.exists():
            self.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                      "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate])
        process = self.start(["node", ROOT / "tests/support/tls_receiver.js", port, control, key, certificate, offered])
        wait_for(lambda: self.answers(f"http://127.0.0.1:{control}/stats"), 10, "the TLS receiver")
        return process, f"https://127.0.0.1:{port}/", f"http://127.0.0.1:{control}", certificate

    def start(self, command, **environment):
        process = subprocess.Popen([str(word) for word in command], stdout=self.log, stderr=self.log, cwd="/", env={**os.environ, **environment})
        self.processes.append(process)
        return process

    def run(self, command):
        environment = {**os.environ, "DATABASE_URL": self.database, "MIGRATIONS_DIR": str(ROOT / "migrations")}
        return subprocess.run([str(word) for word in command], env=environment, check=True, capture_output=True, text=True).stdout

    def sql(self, text):
        return subprocess.run(["psql", "-qtAX", "-v", "ON_ERROR_STOP=1", self.database, "-c", text], check=True, capture_output=True, text=True).stdout.strip()

    def script(self, text):
        """As sql(), each statement in a transaction of its own, with psql's own commands."""
        return subprocess.run(["psql", "-qtAX", "-v", "ON_ERROR_STOP=1", self.database], input=text, check=True, capture_output=True, text=True).stdout.strip()

    @staticmethod
    def answers(url):
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return True
        except OSError:
            return False

    def serve(self, webhook=None, wrapper=(), wait=True, **settings):
        port = free_port()
        api = f"http://127.0.0.1:{port}"
        process = self.start([*wrapper, self.build / "messaging", "serve"], DATABASE_URL=self.database, WEBHOOK_URL=webhook or self.receiver + "/",
                             REDIS_URL=f"redis://127.0.0.1:{self.redis_port}/0", PORT=str(port), MIGRATIONS_DIR=str(ROOT / "migrations"),
                             **{"ALLOWED_NETWORKS": "127.0.0.0/8,::1", **settings})
        if wait:
            wait_for(lambda: self.answers(api + "/readyz"), 120, "the service")
        return process, api

    def stop(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        process.wait(60)
        self.processes.remove(process)

    def switch(self, api, word):
        urllib.request.urlopen(urllib.request.Request(f"{api}/{word}", method="POST"), timeout=10).close()

    def reset(self):
        urllib.request.urlopen(urllib.request.Request(self.receiver + "/reset", method="POST", data=b""), timeout=10).close()

    def insert(self, count, size=64):
        self.sql(f"INSERT INTO messages (recipient, content) SELECT '+905551111111', repeat('x', {size}) FROM generate_series(1, {count})")

    def end(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGINT if process is self.postgres else signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
