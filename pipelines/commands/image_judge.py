"""The options by which a model is asked about images, as `scan` and `verdicts` have them."""

from typing import Annotated

import typer

Judge = Annotated[
    str | None,
    typer.Option(
        "--image-judge",
        help="A vision-language model answers the questions on the scan: none (default), vllm, http or replay.",
    ),
]
JudgeModel = Annotated[
    str | None,
    typer.Option("--image-judge-model", help="vllm: path or hub id, default Qwen/Qwen2.5-VL-7B-Instruct. http: name."),
]
JudgeUrl = Annotated[
    str | None, typer.Option("--image-judge-url", help="http: base URL, such as http://localhost:8000/v1.")
]
JudgeKeyEnv = Annotated[
    str | None,
    typer.Option("--image-judge-key-env", help="http: environment variable with the key; default OPENAI_API_KEY."),
]
JudgeConcurrency = Annotated[
    int | None, typer.Option("--image-judge-concurrency", help="http: requests at once; default 32.")
]
JudgeTimeoutS = Annotated[
    float | None, typer.Option("--image-judge-timeout-s", help="http: seconds to wait for an answer; default 60.")
]
JudgeRecorded = Annotated[
    str | None, typer.Option("--image-judge-recorded", metavar="URI", help="replay: recorded answers.")
]
JudgeWorkers = Annotated[
    int | None, typer.Option("--image-judge-workers", help="vllm: engines; default: as many as GPUs allow.")
]
JudgeTensorParallel = Annotated[
    int | None, typer.Option("--image-judge-tensor-parallel", help="vllm: GPUs of an engine; default 1.")
]
JudgeMaxModelLen = Annotated[
    int | None, typer.Option("--image-judge-max-model-len", help="vllm: tokens of a picture and its question.")
]
JudgeDtype = Annotated[
    str | None, typer.Option("--image-judge-dtype", help="vllm: auto, float32, bfloat16 or float16.")
]
JudgeAttempts = Annotated[
    int | None, typer.Option("--image-judge-attempts", help="vllm, http: how often a question is asked.")
]
JudgeNearest = Annotated[
    int | None, typer.Option("--image-judge-nearest", help="ID labels that are named to the judge; default 10.")
]
JudgeDescribe = Annotated[
    bool | None,
    typer.Option("--image-judge-describe", help="Also ask what each picture shows, in eight words at most."),
]
JudgeAnswers = Annotated[
    str | None,
    typer.Option("--image-judge-answers", metavar="URI", help="Where answers are stored; default: with the scan."),
]
MaxQuestions = Annotated[
    int | None, typer.Option("--max-questions", help="The most images that the judge is asked about; default 50.")
]
