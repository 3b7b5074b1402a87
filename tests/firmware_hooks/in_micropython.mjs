// node in_micropython.mjs FOLDER EDGE_LINK VECTORS: run edge_link.py against the vectors in MicroPython itself, compiled to
// WebAssembly, which npm put into FOLDER. Ends with status 1 and a traceback where they disagree.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, client, vectors] = process.argv.slice(2);
const port = path.resolve(folder, "node_modules/@micropython/micropython-webassembly-pyscript/micropython.mjs");
const { loadMicroPython } = await import(pathToFileURL(port).href);

const script = `
import json, sys
from binascii import unhexlify
import edge_link

vectors = json.load(open("vectors.json"))
checked = 0
for entry in vectors["crc"]:
    data = unhexlify(entry["data"])
    assert edge_link.crc16(data) ^ 0xFFFF == entry["crc16"] and edge_link.crc32(data) == entry["crc32"]
    checked += 1
for entry in vectors["frames"]:
    content, wire = unhexlify(entry["content"]), unhexlify(entry["wire"])
    assert edge_link.frame(content) == wire
    assert edge_link.Receiver(1024).feed(wire) == [content]
    checked += 1
for stream in vectors["streams"]:
    wire = unhexlify(stream["wire"])
    for step in (1, 7, len(wire)):
        receiver, found = edge_link.Receiver(256), []
        for at in range(0, len(wire), step):
            found += receiver.feed(wire[at : at + step])
        assert [content for content in found if content is not None] == [unhexlify(frame) for frame in stream["frames"]]
        assert {k: v for k, v in receiver.counters.items() if v} == {k: v for k, v in stream["errors"].items() if v}
    checked += 1

class Port:
    def __init__(self):
        self.come = self.sent = b""
    def read(self, most):
        data, self.come = self.come[:most], self.come[most:]
        return data or None
    def write(self, data):
        self.sent += data
        return len(data)

for entry in vectors["compact"]["replies"]:
    port = Port()
    link = edge_link.Link(port, 115200, nonce=0x12345678)
    link.begin(bytes((2, 1, 1, 0, 120)))
    assert link.poll() == edge_link.BUSY
    port.come = unhexlify([frame for frame in vectors["frames"] if frame["type"] == "welcome"][0]["wire"])
    assert link.poll() == edge_link.BUSY and len(port.sent) == 34 + 20
    body = unhexlify(entry["body"])
    message = body + link._message_crc(1, 1, link._crc, body).to_bytes(4, "little")
    kind = edge_link.DATA | edge_link.SERVER | edge_link.LAST | edge_link.ASK
    port.come = edge_link.frame(bytes((kind, 0x42, 1, 0, 0, 0)) + message)
    assert link.poll() == edge_link.REPLY and link.message == body
    result = entry["json"].get("result")
    if entry.get("options") == 1 and result:
        assert edge_link.entries(body)[0]["name"] == result["intent"]
    checked += 1
print(sys.implementation.name, checked)
`;

const python = await loadMicroPython({ heapsize: 4 << 20, linebuffer: true, stdout: (line) => console.log(line) });
python.FS.writeFile("edge_link.py", fs.readFileSync(client));
python.FS.writeFile("vectors.json", fs.readFileSync(vectors));
try {
    python.runPython(script);
} catch (error) {
    console.error(String(error));
    process.exit(1);
}
