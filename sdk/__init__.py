"""cellzoo's inference side: trained models in, numpy out."""
