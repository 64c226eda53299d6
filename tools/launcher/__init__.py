"""What ./quire is made of: options, the machine, the conversation with the guest."""
