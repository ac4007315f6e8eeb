"""Recording the bundled data sets: behaviour policies, what each set is made of, and the rollouts."""
