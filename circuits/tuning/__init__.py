"""What units answer to when a stimulus turns, bends or grows."""
