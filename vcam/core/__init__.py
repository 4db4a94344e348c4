"""What every room of the program uses: errors, frames, the mailbox, statistics."""
