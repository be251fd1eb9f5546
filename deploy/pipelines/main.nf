// Nextflow: every data/SAMPLE/dataset.xml is fused.  Not run yet: a sketch; the commands in it are those of the Snakefile.
//   nextflow run deploy/pipelines/main.nf --config fuse.yaml --data data --results results
// The image is written beside the work folder of the task, not in it: a retry in another folder then continues it.

params.config = 'fuse.yaml'
params.data = 'data'
params.results = 'results'

process FUSE {
    tag "$sample"
    cpus 4
    memory '8 GB'
    errorStrategy 'retry'
    maxRetries 1
    publishDir params.results, mode: 'copy'

    input:
    tuple val(sample), val(project), val(config), val(results)

    output:
    path "${sample}.png"

    script:
    """
    fusestack run '$config' --quiet --set input.project='$project' \\
        --set output.path='$results/${sample}.ome.zarr' \\
        --set execution.workers=$task.cpus --set execution.memory=${task.memory.toMega().intdiv(task.cpus)}MiB
    fusestack preview '$results/${sample}.ome.zarr' -o '${sample}.png'
    """
}

workflow {
    results = file(params.results).toAbsolutePath()
    Channel.fromPath("${params.data}/*/dataset.xml")
        | map { project -> tuple(project.parent.name, project.toAbsolutePath(), file(params.config).toAbsolutePath(), results) }
        | FUSE
}
