"""Models on the Hub: references to them, their download and verification, and the Hub's errors."""
