"""The label bank: ID and negative labels, their embeddings, and where all of it came from."""

from ood_core.labels.bank import BankInfo, LabelBank

__all__ = ["BankInfo", "LabelBank"]
