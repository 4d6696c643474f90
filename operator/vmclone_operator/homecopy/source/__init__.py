"""What runs on the source: plain Python 3.6, standard library only, sent over ssh and never installed there."""
