from pipelines.config.scan import Read, Scan


def test_what_rows_depend_on_is_of_a_scans_identity_and_how_long_one_waits_is_not() -> None:
    scan = Scan(input=("in",), labels="bank", output="out")
    other = scan.model_copy(update={"read": Read(retry_s=1, max_decode_s=1)})
    assert other.settings() == scan.settings()
    for changed in (Read(max_rows_per_shard=7), Read(max_image_bytes=7)):
        assert scan.model_copy(update={"read": changed}).settings() != scan.settings()
