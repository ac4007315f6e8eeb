"""What reading and storing data cost in time and memory: the commands `data bench_reading` and `data bench`."""
