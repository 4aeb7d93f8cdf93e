"""What the layers of decoder and encoders are made of, besides attention and experts."""
