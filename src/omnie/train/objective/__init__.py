"""What is minimised: answers, spelling by the encoders and by the embeddings, the routers' balance."""
