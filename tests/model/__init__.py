"""The laws of the model, on toys with fresh weights in float32."""
