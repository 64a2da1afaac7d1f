"""The course's measurements: what a strategy and a mistake are worth (`course`), and speed beside the peers (the package itself)."""
