"""How well scores tell ID images from OOD images: AUROC and FPR95 from score tables. Nothing here makes a score."""
