"""What runs in Ray actors: decode, encode, score. Each works as a plain object too; none decides what is next."""
