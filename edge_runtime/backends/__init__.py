"""What runs the network: LiteRT or tflite-runtime, behind one small interface (`backend.Backend`)."""
