"""What `edge-runtime`'s commands do, one module each; `cli` only reads arguments and prints."""
