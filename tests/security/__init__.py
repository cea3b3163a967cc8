"""What keeps secrets, people and their data safe."""
