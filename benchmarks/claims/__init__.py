"""Run what the stated figures come from, in order, and write them beside their targets."""
