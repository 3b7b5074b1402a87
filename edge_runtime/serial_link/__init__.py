"""The serial link of docs/serial.md, layer by layer.

`cobs`, `frames`, `deframer`, `messages`, `sender`, `receiver`, `server_link`, `client_link`: bytes and a clock in,
bytes and messages out. `fields`, `labels`, `compact_requests`, `compact_replies`: what the messages say. `address`,
`ports`, `consoles`, `flow`, `bridge`: the ports that they go through.
"""
