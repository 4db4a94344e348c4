"""What goes along with a moving face from frame to frame."""
