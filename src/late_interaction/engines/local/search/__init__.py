"""Search one snapshot: the plan, exact scores, and scores of compressed documents on the processor or a GPU."""
