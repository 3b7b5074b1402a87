"""The messages of docs/protocol.md, whatever carries them: lines, requests, replies, limits."""
