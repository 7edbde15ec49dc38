import hypothesis

hypothesis.settings.register_profile("oodscan", database=None, deadline=None, derandomize=True)
hypothesis.settings.load_profile("oodscan")
