"""A receiver that keeps the order and the moments of the requests; `messaging receiver` only counts them."""
import asyncio, json, re, threading, time

BODY = b'{"message":"Accepted","messageId":"b"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Connection(asyncio.Protocol):
    def __init__(self, arrived):
        self.arrived, self.read = arrived, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.read += data
        head, _, body = self.read.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length and len(body) == int(length.group(1)):
            self.arrived.append((time.monotonic(), json.loads(body)["content"]))
            self.read = b""
            self.transport.write(ANSWER)


class Arrivals:
    """Serves inside a with statement. `all` has (seconds, content) of each request, in the order of their arrival."""

    def __init__(self, port):
        self.all = []
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(self.loop.create_server(lambda: Connection(self.all), "127.0.0.1", port))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        self.loop.close()
