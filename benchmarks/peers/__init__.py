"""Other late-interaction engines beside ours: the same vectors through each of them, in one run."""
