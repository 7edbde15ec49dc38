"""The label bank: ID and negative labels, their embeddings, and where all of it came from."""

from ood_core.labels.bank import LabelBank
from ood_core.labels.info import BankInfo

__all__ = ["BankInfo", "LabelBank"]
