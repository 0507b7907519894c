"""Facebook Pages: a video becomes a Reel or a Page video, by its shape and length."""
