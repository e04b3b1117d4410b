"""What an output asks of the encoder, and what it makes of a camera's picture before it is encoded."""
