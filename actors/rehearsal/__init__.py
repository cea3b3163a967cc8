"""What the demo and the chaos command share: nodes as processes, what is on record of their work, and the verdict."""
