"""What runs in a clone's guest: plain Python 3.6, standard library only, sent through the guest channel."""
