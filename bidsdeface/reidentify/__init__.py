"""Attacks by face recognition: pictures of heads, attackers, and rates before and after defacing."""
