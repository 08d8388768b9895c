"""The papers' experiments: many trainings and evaluations from one file, resumed where they stopped."""
