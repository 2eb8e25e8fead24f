"""Models on the Hub: how they are named, downloaded and verified, and what its errors mean."""
