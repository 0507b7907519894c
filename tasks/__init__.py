"""Work that takes time: the queue, the workers, and what they do."""
