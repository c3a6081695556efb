"""Training: the only part of jobs/, with the playground, that imports torch. It runs in a process of its own."""
