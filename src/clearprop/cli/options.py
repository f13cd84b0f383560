"""The options of the commands: their types, limits and help, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "L2",
    "Activation",
    "AnyData",
    "BatchSize",
    "CheckData",
    "CheckEngine",
    "CheckExamples",
    "CheckFile",
    "CheckFunction",
    "CheckGradient",
    "CheckPoint",
    "CheckSeed",
    "CheckTraining",
    "CheckpointFolder",
    "CheckpointMinutes",
    "CheckpointSteps",
    "DType",
    "Data",
    "Debug",
    "Drop",
    "Dropout",
    "EarlyStopping",
    "Engine",
    "Epochs",
    "Eta",
    "ExampleNumber",
    "ExportDType",
    "ExportFormat",
    "ExportName",
    "ExportOutput",
    "Force",
    "Hidden",
    "HtmlOutput",
    "Inexact",
    "Json",
    "LadderActivation",
    "LadderDType",
    "LadderData",
    "LadderHidden",
    "Latex",
    "LayerAddress",
    "MaxExamples",
    "Model",
    "ModelOption",
    "ModelOutput",
    "Only",
    "OptimizerName",
    "OptionalModel",
    "OtherRecording",
    "Part",
    "PassSize",
    "PlotActivation",
    "PlotBias",
    "PlotExample",
    "PlotExamples",
    "PlotHidden",
    "PlotKind",
    "PlotLayer",
    "PlotModel",
    "PlotOutput",
    "PlotWeight",
    "PlotWhat",
    "Proba",
    "Quick",
    "Quiet",
    "Record",
    "Recorded",
    "RecordedData",
    "RecordedLayer",
    "RecordedStep",
    "Resume",
    "Rows",
    "SavedFiles",
    "ScheduleName",
    "Seconds",
    "Seed",
    "System",
    "TableFiles",
    "TableOutput",
    "Target",
    "Task",
    "TestFraction",
    "Threads",
    "TimeLimit",
    "Tolerance",
    "TrainedAt",
    "TrainedBy",
    "Validation",
    "WhichBias",
    "WhichNeuron",
    "WhichWeight",
    "Why",
    "WithReport",
]


def _argument(help_text: str, name: str) -> Any:
    return typer.Argument(metavar=name, help=help_text, show_default=False)


def _data(help_text: str, default: str | bool = False, **more: Any) -> Any:
    return typer.Option(help=help_text, show_default=default, rich_help_panel="Data", **more)


def _network(help_text: str, default: str | bool = False) -> Any:
    return typer.Option(help=help_text, show_default=default, rich_help_panel="Network")


def _training(help_text: str, default: str | bool = False, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, show_default=default, rich_help_panel="Training", **more)


def _picture(help_text: str, default: str | bool = False, **more: Any) -> Any:
    return typer.Option(help=help_text, show_default=default, rich_help_panel="Picture", **more)


def _output(help_text: str, *names: str, default: str | bool = False) -> Any:
    return typer.Option(*names, help=help_text, show_default=default, rich_help_panel="Output")


def _claims(help_text: str, *names: str, default: str | bool = False) -> Any:
    return typer.Option(*names, help=help_text, show_default=default, rich_help_panel="Claims")


def _gradient(help_text: str, default: str | bool = False, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, show_default=default, rich_help_panel="Gradient", **more)


_SETS = "digits, mnist, fashion_mnist, moons, circles, spirals, xor, toy_step"
_ONE_THREAD = "1, the fastest for small networks; or what OPENBLAS_NUM_THREADS says"

# Data
AnyData = Annotated[
    str,
    _argument(
        f"{_SETS}; or the path of a table (.csv, .tsv, .parquet; with --target) or an .npz file.", "DATA"
    ),
]
LadderData = Annotated[
    str,
    typer.Argument(metavar="DATA", help=f"{_SETS}; or the path of a table (with --target) or an .npz file."),
]
Rows = Annotated[
    str,
    _argument(
        "A table with the model's columns (.csv, .tsv, .parquet), an .npy file of rows, an .npz file, or the "
        "name of a data set.",
        "DATA",
    ),
]
Data = Annotated[
    Path | None,
    _data(
        "For mnist and fashion_mnist: an .npz file or the folder of the IDX files.", "downloaded and cached"
    ),
]
Target = Annotated[str | None, _data("Column of a table that is to be predicted.")]
Task = Annotated[str | None, _data("classification or regression.", "what the target column looks like")]
Drop = Annotated[str | None, _data("Columns of a table to leave out: a,b,c.")]
TestFraction = Annotated[
    float | None, _data("Share of the examples held out for the test, where there is no test part.", "0.2")
]
Validation = Annotated[
    float | None,
    _data("Share of the training examples to watch after each epoch.", "none: the curves show the test part"),
]
Part = Annotated[
    str | None, _data("all, train or test, where the data have parts.", "test; all where there are no parts")
]

# Network
Hidden = Annotated[
    str | None, _network("Sizes of the hidden layers: 128,64, or none.", "256,128 for images, else 64,64")
]
Activation = Annotated[str, _network("Of the hidden layers: relu, tanh, sigmoid, gelu, …", True)]
Dropout = Annotated[
    float | None,
    _network(
        "Share of the hidden neurons that is dropped in training.",
        "0.3 for images, 0.1 for small tables, else 0",
    ),
]
DType = Annotated[str, _network("float32 or float64.", True)]
LadderHidden = Annotated[str | None, _network("Sizes of the hidden layers: 30,20, or none.", "30")]
LadderActivation = Annotated[str | None, _network("Of the hidden layers.", "sigmoid")]
LadderDType = Annotated[str | None, _network("float64 shows how exact a rung is.", "float64")]
ModelOption = Annotated[Path | None, _network("Measure this saved model in place of a new network.")]

# Training
Engine = Annotated[str, _training("Rung of the ladder: auto, batch, example, neuron, graph.", True)]
OptimizerName = Annotated[str, _training("sgd, momentum, nesterov, rmsprop, adam, adamw, sgdw, lbfgs.", True)]
Eta = Annotated[float | None, _training("Learning rate.", "0.003 for adam, else the optimiser's own")]
Epochs = Annotated[int | None, _training("Passes over the data.", "suits their number", min=1)]
BatchSize = Annotated[int | None, _training("Examples per step.", "32; 128 from 10000 examples on", min=1)]
ScheduleName = Annotated[
    str | None, _training("How the rate changes: one_cycle, cosine, step_decay, …, or none.", "one_cycle")
]
L2 = Annotated[float, _training("Factor of the penalty on squared weights.", True)]
EarlyStopping = Annotated[
    bool,
    _training(
        "Stop when the validation cost has not improved for 10 epochs, and keep the best network. Takes a "
        "tenth of the training examples for validation unless --validation says otherwise.",
        False,
        "--early-stopping",
    ),
]
Threads = Annotated[int | None, _training("Threads of the BLAS.", _ONE_THREAD, min=1, max=1024)]
TimeLimit = Annotated[float | None, _training("Stop after so many seconds.")]
CheckpointFolder = Annotated[
    Path | None,
    _training(
        "Write checkpoints of this run to this folder. Ctrl-C and SIGTERM then write one and end, without a "
        "model.",
        False,
        "--checkpoint",
    ),
]
CheckpointSteps = Annotated[int | None, _training("A checkpoint after every so many steps.", min=1)]
CheckpointMinutes = Annotated[
    float | None, _training("A checkpoint after every so many minutes.", "5, unless by steps")
]
Resume = Annotated[
    bool,
    _training("Go on from the newest checkpoint, or begin where there is none.", False, "--resume"),
]
Seed = Annotated[int, _training("Weights, split, order and dropout are functions of it.", True, min=0)]
PassSize = Annotated[int, _training("Examples per pass; slow rungs get fewer.", True, min=1)]
TrainedBy = Annotated[str | None, _training("Optimizer of the trial steps.", "that of the training")]
TrainedAt = Annotated[
    float | None, _training("Learning rate of the trial steps.", "that of the training, or the optimizer's")
]
MaxExamples = Annotated[int, _training("How many examples go through the network.", True, min=1)]
Seconds = Annotated[float, _training("Time for each rung, about.", True)]

# What is checked
CheckFile = Annotated[
    Path, _argument("A Python file that defines f, gradient and point; or a saved model.", "FILE")
]
CheckData = Annotated[
    str | None,
    typer.Argument(metavar="[DATA]", help=f"For a saved model: {_SETS}; or a table.", show_default=False),
]


def _check(help_text: str, default: str | bool = False, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, show_default=default, rich_help_panel="Check", **more)


CheckFunction = Annotated[str | None, _check("Name of the function in FILE.py.", "f", "--f")]
CheckGradient = Annotated[str | None, _check("Name of its gradient.", "gradient", "--gradient")]
CheckPoint = Annotated[str | None, _check("Name of the point.", "point", "--point")]
CheckExamples = Annotated[int | None, _check("How many examples of DATA to take.", "16", min=1)]
CheckEngine = Annotated[str | None, _check("Rung whose gradient is checked.", "batch")]
CheckTraining = Annotated[bool, _check("With dropout drawn and batch statistics.", False, "--training")]
Tolerance = Annotated[
    float | None,
    _check("Largest error that is right, relative to the largest entry.", "1e-7; 1e-4 for float32"),
]
CheckSeed = Annotated[int, _check("Of the random directions.", True, min=0)]

# Models and output
Model = Annotated[Path, _argument("A model saved by clearprop.", "MODEL")]
SavedFiles = Annotated[
    list[Path], _argument("Models, recorded runs or checkpoints, saved by clearprop.", "FILE...")
]
OptionalModel = Annotated[Path | None, _argument("A model saved by clearprop.", "MODEL")]
ModelOutput = Annotated[
    Path | None,
    _output("Path of the model; the page goes beside it, ending in .html.", default="DATA.safetensors"),
]
Recorded = Annotated[Path, _argument("A run recorded by clearprop train --record.", "RECORDING")]
RecordedData = Annotated[str, _argument("The data that it trained on, as train was given them.", "DATA")]
RecordedStep = Annotated[
    int | None, typer.Option("--step", help="Which step to look at, from 1.", show_default="only the run")
]
RecordedLayer = Annotated[
    str | None,
    typer.Option("--layer", help="Show the numbers of this layer: 2, or 3.body.1; 0 is the input."),
]
OtherRecording = Annotated[
    Path | None, typer.Option("--compare", help="Say where this other recorded run first differs.")
]
Inexact = Annotated[
    bool,
    typer.Option("--inexact", help="Do without the very bits of the run, where this machine has others."),
]
TableOutput = Annotated[Path | None, _output("Write a CSV file in place of printing.")]
ExportFormat = Annotated[
    str | None, _output("onnx, c or js.", "--to", default="what the ending of --out says")
]
ExportOutput = Annotated[
    Path | None, _output("Path of the file.", "--out", "--output", default="the model's name, here")
]
ExportName = Annotated[
    str | None, _output("For c: what the functions' names begin with.", default="the name of the file")
]
ExportDType = Annotated[str | None, _output("float32 or float64.", default="that of the model")]
Record = Annotated[Path | None, _output("Record the run to this file too, for clearprop replay.")]
WithReport = Annotated[bool, _output("Write the page of pictures.", "--report/--no-report", default=True)]
Proba = Annotated[bool, _output("The probability of each class too, as CSV.", "--proba")]
Force = Annotated[bool, _output("Replace files that exist.", "--force")]
Json = Annotated[bool, _output("Print one JSON object.", "--json")]
Quiet = Annotated[bool, _output("No progress.", "--quiet")]
Debug = Annotated[bool, _output("Show the traceback of an error.", "--debug")]
Quick = Annotated[bool, _claims("Leave out the long trainings.", "--quick")]
Only = Annotated[
    str | None, _claims("Ids of claims or of sources, such as 003.12,N.", "--only", default="all")
]
TableFiles = Annotated[
    Path | None,
    _output("Path of the three files, without .md, .json and .html.", default="reproduced"),
]
System = Annotated[bool, _output("Show versions, BLAS, threads and engines.", "--system")]

# Pictures
PlotKind = Annotated[str, _argument("What to draw, one of those above.", "KIND")]
PlotWhat = Annotated[
    str | None,
    typer.Argument(
        metavar="WHAT",
        help=f"For activation its name, left out all of them; else data: {_SETS}; or the path of a table or "
        "an .npz file.",
        show_default="moons",
    ),
]
PlotModel = Annotated[Path | None, _network("Draw this saved model in place of training a new network.")]
PlotHidden = Annotated[str | None, _network("Sizes of the hidden layers: 30,20, or none.", "16,16")]
PlotActivation = Annotated[str | None, _network("Of the hidden layers.", "tanh")]
PlotLayer = Annotated[
    str | None, _picture("Number or address of the layer, of nudge, weights, representations.", "1, or all")
]
PlotWeight = Annotated[str | None, _picture("For nudge: j,k, the weight to neuron j from input k.", "0,0")]
PlotBias = Annotated[int | None, _picture("For nudge: the bias of this neuron.", min=0)]
PlotExample = Annotated[int | None, _picture("For nudge: the example whose z and a are shown.", "0", min=0)]
PlotExamples = Annotated[
    int | None, _picture("Examples that are drawn, or whose cost is taken.", "500", min=1)
]
PlotOutput = Annotated[
    Path | None,
    _output("Path of the picture: .png, .svg, .pdf; of films .gif, .mp4, .html.", default="KIND.png"),
]

# One gradient
ExampleNumber = Annotated[
    int | None, _gradient("Number of the example, counted from 0.", "0; with --why all examples", min=0)
]
LayerAddress = Annotated[str | None, _gradient("Number or address of a layer: 2, 3.body.1.", "all layers")]
WhichWeight = Annotated[str | None, _gradient("j,k: the weight to neuron j of the layer from its input k.")]
WhichBias = Annotated[int | None, _gradient("The bias of this neuron of the layer.")]
WhichNeuron = Annotated[int | None, _gradient("The error of this neuron of the layer.")]
Why = Annotated[bool, _gradient("Say why the gradient is small or large.", False, "--why")]
Latex = Annotated[bool, _output("Print LaTeX.", "--latex")]
HtmlOutput = Annotated[Path | None, _output("Write an HTML file in place of printing.")]
