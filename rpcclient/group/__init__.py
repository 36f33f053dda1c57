"""What both clients share about group calls: requests, what is answered, and who has not answered yet."""
