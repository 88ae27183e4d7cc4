"""The shell: it performs the effects of the core, and reports what happens as events."""
