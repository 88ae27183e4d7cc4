"""The deterministic core: an event and the time in, a state and effects out. No clock, no randomness, no I/O."""
